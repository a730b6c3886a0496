-- Starts a history at a place in a log, unless it has that log already.
--
-- KEYS  1 history (stream)   2 meta (hash)
-- ARGV  1 the log's epoch    2 offset in the log    3 meta's time (ms)
-- Returns the offset afterwards.

local history, meta = KEYS[1], KEYS[2]
local known = redis.call('hmget', meta, 'e', 's')
local top = known[2] or '0'
if known[1] ~= ARGV[1] then
    redis.call('del', history, meta)
    redis.call('hset', meta, 'e', ARGV[1], 's', ARGV[2])
    top = ARGV[2]
end
if redis.call('pttl', meta) < tonumber(ARGV[3]) then
    redis.call('pexpire', meta, ARGV[3])
end
return top
