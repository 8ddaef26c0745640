"""Forecasts: how many orders each zone will have in each hour, and what that asks for."""
