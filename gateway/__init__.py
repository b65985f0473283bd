"""voice-gateway: a real-time voice gateway for AI receptionists on local models."""

__version__ = "0.1.0"
