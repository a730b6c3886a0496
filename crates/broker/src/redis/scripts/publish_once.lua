-- Sends a publication without history to subscribers, once per idempotency key.
--
-- KEYS  1 result of the idempotency key
-- ARGV  1 pub/sub channel   2 envelope   3 time of the idempotency key (ms)
-- Returns 1 if suppressed else 0.

if not redis.call('set', KEYS[1], '', 'NX', 'PX', ARGV[3]) then
    return 1
end
redis.call('publish', ARGV[1], '\n' .. ARGV[2])
return 0
