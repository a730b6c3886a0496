-- What all presence scripts begin with.
--
-- KEYS  1 client → when it expires (sorted set, Redis's own clock, ms)
--       2 client → info   3 client → user   4 user → number of clients
--
-- The four keys change together and expire together.

local expiry, infos, users, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('time')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function leave_user(user)
    if redis.call('hincrby', counts, user, -1) <= 0 then
        redis.call('hdel', counts, user)
    end
end

local function remove(client)
    redis.call('zrem', expiry, client)
    redis.call('hdel', infos, client)
    local user = redis.call('hget', users, client)
    if user then
        redis.call('hdel', users, client)
        leave_user(user)
    end
end

local function remove_expired(limit)
    local clients = redis.call(
        'zrangebyscore', expiry, '-inf', now, 'LIMIT', 0, limit)
    for _, client in ipairs(clients) do
        remove(client)
    end
    return #clients
end

