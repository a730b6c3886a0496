-- Appends a publication to a channel's history and sends it to subscribers.
--
-- KEYS  1 history (stream)   2 meta (hash)   3 result of the idempotency key
-- ARGV  1 pub/sub channel    2 envelope      3 size of the history
--       4 its time (ms)      5 meta's time (ms)
--       6 epoch, should a history begin here
--       7 version, 20 digits, or ''          8 version epoch
--       9 time of the idempotency key (ms), or '' without one
-- Returns {1 if suppressed else 0, offset, epoch}.
--
-- Versions are compared as text of equal length: Lua's numbers lose digits.

local history, meta, result = KEYS[1], KEYS[2], KEYS[3]
local version, version_epoch = ARGV[7], ARGV[8]

if ARGV[9] ~= '' then
    local before = redis.call('get', result)
    if before then
        local offset, epoch = string.match(before, '^(%d+):(.*)$')
        return {1, offset, epoch}
    end
end

local known = redis.call('hmget', meta, 'e', 's', 'v', 've')
local epoch = known[1]
if not epoch then
    -- A stream without its meta is of an epoch that nobody can name any more.
    redis.call('del', history)
    epoch = ARGV[6]
    redis.call('hset', meta, 'e', epoch)
elseif version ~= '' and known[3] and known[4] == version_epoch and version <= known[3] then
    return {1, known[2] or '0', epoch}
end

local offset = string.format('%.0f', redis.call('hincrby', meta, 's', 1))
if version ~= '' then
    redis.call('hset', meta, 'v', version, 've', version_epoch)
end
redis.call('xadd', history, 'MAXLEN', ARGV[3], offset .. '-0', 'd', ARGV[2])
redis.call('pexpire', history, ARGV[4])
if redis.call('pttl', meta) < tonumber(ARGV[5]) then
    redis.call('pexpire', meta, ARGV[5])
end
if ARGV[9] ~= '' then
    redis.call('set', result, offset .. ':' .. epoch, 'PX', ARGV[9])
end
redis.call('publish', ARGV[1], offset .. ':' .. epoch .. '\n' .. ARGV[2])
return {0, offset, epoch}
