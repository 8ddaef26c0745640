"""The addresses of the API, as they stand in links and in the description."""

ORDERS = "/v1/orders"
BATCH = "/v1/orders/batch"
ORDER = "/v1/orders/{order_id}"
TIMELINE = "/v1/orders/{order_id}/timeline"
WEBHOOK = "/v1/webhooks/{webhook_id}"
PROBLEM = "/problems/{code}"
RUN = "/v1/ops/runs/{run_id}"

LONGEST = 8192  # with its query
