"""Events pushed to addresses of the tenants' own: signed, tried for days, and never at anything inside."""
