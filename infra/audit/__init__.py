"""The audit: recomputes the promises P1 to P6 from what every store says, set-based, and names whatever breaks one."""

from infra.audit.audit import audit
from infra.audit.model import Finding, Report, Standing

__all__ = ["Finding", "Report", "Standing", "audit"]
