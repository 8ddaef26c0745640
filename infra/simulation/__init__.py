"""A recorded day played event by event, under a policy, through the optimizer that plans live orders."""
