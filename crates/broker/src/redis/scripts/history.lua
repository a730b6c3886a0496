-- Reads a part of a channel's history, and its position.
--
-- KEYS  1 history (stream)   2 meta (hash)
-- ARGV  1 epoch, should a history begin here    2 meta's time (ms)
--       3 'xrange', 'xrevrange' or '' (only the position)
--       4 and 5 from and to                     6 at most this many, or ''
-- Returns {epoch, top offset, entries}.

local history, meta = KEYS[1], KEYS[2]
local known = redis.call('hmget', meta, 'e', 's')
local epoch, top = known[1], known[2] or '0'
if not epoch then
    redis.call('del', history)
    epoch = ARGV[1]
    redis.call('hset', meta, 'e', epoch, 's', '0')
    top = '0'
end
if redis.call('pttl', meta) < tonumber(ARGV[2]) then
    redis.call('pexpire', meta, ARGV[2])
end

local entries = {}
if ARGV[3] ~= '' then
    if ARGV[6] == '' then
        entries = redis.call(ARGV[3], history, ARGV[4], ARGV[5])
    else
        entries = redis.call(ARGV[3], history, ARGV[4], ARGV[5], 'COUNT', ARGV[6])
    end
end
return {epoch, top, entries}
