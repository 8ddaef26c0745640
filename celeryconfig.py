"""Celery's settings. Everything that depends on the place comes from the UOOP_* environment."""

from infra.settings import Settings
from tasks import names

_settings = Settings.load()

broker_url = _settings.broker_url.get_secret_value()
result_backend = _settings.results_url.get_secret_value()

accept_content = ["json"]
task_serializer = result_serializer = "json"
task_default_queue = names.STEPS
task_create_missing_queues = True
task_routes = {
    names.CLAIM: {"queue": names.CONTROL},
    names.SWEEP: {"queue": names.CONTROL},
    names.CARRIER_DIED: {"queue": names.CONTROL},
    names.APPLY_REPORTS: {"queue": names.CONTROL},
    names.WATCH_DELIVERIES: {"queue": names.CONTROL},
    names.RECONCILE: {"queue": names.CONTROL},
    names.MEND_CAPACITY: {"queue": names.CONTROL},
    names.MEASURE_CAPACITY: {"queue": names.CONTROL},
    names.FORECAST: {"queue": names.CONTROL},
    names.MAINTAIN: {"queue": names.CONTROL},
    names.SETTLE: {"queue": names.CONTROL},
    names.REPLAN_POOL: {"queue": names.OPTIMIZER},
    names.RELAY: {"queue": names.OUTBOX},
    names.SEND_WEBHOOKS: {"queue": names.WEBHOOKS},
}

# Every task is harmless when repeated, so a message is acknowledged after the work.
task_acks_late = True
worker_prefetch_multiplier = 1
task_ignore_result = True
task_store_errors_even_if_ignored = False
result_expires = 600
result_chord_expires = 600
task_soft_time_limit = 45
task_time_limit = 60

# The visibility timeout stays above the longest task and is never the way of recovery.
broker_transport_options = {
    "visibility_timeout": 300,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "queue_order_strategy": "priority",
}
result_backend_transport_options = {"retry_policy": {"timeout": 2.0}}
redis_socket_timeout = 5
redis_socket_connect_timeout = 2
redis_retry_on_timeout = True
redis_backend_health_check_interval = 10
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_cancel_long_running_tasks_on_connection_loss = False

worker_hijack_root_logger = False
worker_send_task_events = _settings.flower
task_send_sent_event = False
worker_soft_shutdown_timeout = 5
timezone = "UTC"

beat_schedule = {
    "claim": {"task": names.CLAIM, "schedule": 1.0},
    "sweep": {"task": names.SWEEP, "schedule": 1.0},
    "relay": {"task": names.RELAY, "schedule": 1.0},
    "send-webhooks": {"task": names.SEND_WEBHOOKS, "schedule": 2.0},
    "apply-reports": {"task": names.APPLY_REPORTS, "schedule": 2.0},
    "watch-deliveries": {"task": names.WATCH_DELIVERIES, "schedule": 15.0},
    "reconcile": {"task": names.RECONCILE, "schedule": 5.0},
    "mend-capacity": {"task": names.MEND_CAPACITY, "schedule": 60.0},
    "measure-capacity": {"task": names.MEASURE_CAPACITY, "schedule": 15.0},
    "forecast": {"task": names.FORECAST, "schedule": 3600.0},
    "maintain": {"task": names.MAINTAIN, "schedule": 3600.0},
    "settle": {"task": names.SETTLE, "schedule": 5.0},
    "replan-pool": {"task": names.REPLAN_POOL, "schedule": 60.0},
}
beat_max_loop_interval = 0.5
beat_scheduler = "tasks.punctual:Punctual"
