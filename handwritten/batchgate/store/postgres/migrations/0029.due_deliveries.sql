-- The pending deliveries of one webhook by the time of their next attempt, so that a look reads only those that it sends.
CREATE INDEX webhook_deliveries_of_webhook_due ON webhook_deliveries (webhook_key, next_attempt_at, key)
    WHERE state = 'pending';
DROP INDEX webhook_deliveries_due;
