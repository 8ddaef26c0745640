"""
The platform's API without its door, to tell what the door adds to an accepted order.

api    its composition root        accept    writes orders without their keys
"""
