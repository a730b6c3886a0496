-- Appends the publication that has a given place in a log, if it is the next one,
-- and sends it to subscribers.
--
-- KEYS  1 history (stream)   2 meta (hash)
-- ARGV  1 pub/sub channel    2 envelope    3 size of the history
--       4 its time (ms)      5 meta's time (ms)
--       6 the log's epoch    7 offset in the log
-- Returns {'appended'}, {'there'} or {'gap', top}.

local history, meta = KEYS[1], KEYS[2]
local epoch, offset = ARGV[6], ARGV[7]

local known = redis.call('hmget', meta, 'e', 's')
local top = tonumber(known[2] or '0')
if known[1] ~= epoch then
    if offset ~= '1' then
        return {'gap', '0'}
    end
    redis.call('del', history, meta)
    redis.call('hset', meta, 'e', epoch)
    top = 0
end

if tonumber(offset) <= top then
    return {'there'}
elseif tonumber(offset) > top + 1 then
    return {'gap', string.format('%.0f', top)}
end

redis.call('hset', meta, 's', offset)
redis.call('xadd', history, 'MAXLEN', ARGV[3], offset .. '-0', 'd', ARGV[2])
redis.call('pexpire', history, ARGV[4])
if redis.call('pttl', meta) < tonumber(ARGV[5]) then
    redis.call('pexpire', meta, ARGV[5])
end
redis.call('publish', ARGV[1], offset .. ':' .. epoch .. '\n' .. ARGV[2])
return {'appended'}
