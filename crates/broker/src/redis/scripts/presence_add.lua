-- Writes or renews a client's presence.
--
-- ARGV  1 client   2 user   3 info   4 time (ms)

local client, user, time_to_live = ARGV[1], ARGV[2], tonumber(ARGV[4])

-- A little at a time, for channels whose presence nobody reads.
remove_expired(16)

local before = redis.call('hget', users, client)
if before ~= user then
    if before then
        leave_user(before)
    end
    redis.call('hset', users, client, user)
    redis.call('hincrby', counts, user, 1)
end
redis.call('hset', infos, client, ARGV[3])
redis.call('zadd', expiry, string.format('%.0f', now + time_to_live), client)
if redis.call('pttl', expiry) < time_to_live then
    for _, key in ipairs(KEYS) do
        redis.call('pexpire', key, time_to_live)
    end
end
return 1
