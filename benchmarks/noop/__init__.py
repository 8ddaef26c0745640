"""
The platform with steps that do nothing, to compare with what else carries sagas.

saga      the order that peers are given too        platform  everything, with workers that know it
pool      one worker that knows it
"""
