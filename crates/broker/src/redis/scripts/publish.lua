-- Appends publications to their channels' histories and sends them to subscribers,
-- one after the other.
--
-- KEYS  for each: history (stream), meta (hash), result of the idempotency key
-- ARGV  1 epoch, should a history begin here; then for each publication:
--       1 pub/sub channel    2 envelope      3 size of the history
--       4 its time (ms)      5 meta's time (ms)
--       6 version, 20 digits, or ''          7 version epoch
--       8 time of the idempotency key (ms), or '' without one
-- Returns for each 'offset:epoch', with '=' before it if it was suppressed, or '!' and
-- the error: one that fails does not keep the others from being published.
--
-- Versions are compared as text of equal length: Lua's numbers lose digits.

local call, match, format = redis.call, string.match, string.format

local function publish(key, arg)
    local history, meta, result = KEYS[key], KEYS[key + 1], KEYS[key + 2]
    local version, version_epoch, once = ARGV[arg + 5], ARGV[arg + 6], ARGV[arg + 7]

    if once ~= '' then
        local before = call('get', result)
        if before then
            return '=' .. before
        end
    end

    local known = call('hmget', meta, 'e', 's', 'v', 've')
    local epoch, top = known[1], known[2] or '0'
    if not epoch then
        -- A stream without its meta is of an epoch that nobody can name any more.
        call('del', history)
        epoch, top = ARGV[1], '0'
        call('hset', meta, 'e', epoch)
    elseif version ~= '' and known[3] and known[4] == version_epoch and version <= known[3] then
        return '=' .. top .. ':' .. epoch
    end

    local offset = format('%.0f', tonumber(top) + 1)
    if version == '' then
        call('hset', meta, 's', offset)
    else
        call('hset', meta, 's', offset, 'v', version, 've', version_epoch)
    end
    call('xadd', history, 'MAXLEN', ARGV[arg + 2], offset .. '-0', 'd', ARGV[arg + 1])
    call('pexpire', history, ARGV[arg + 3])
    -- A sixteenth more than asked for: it need not be set again each time.
    local wanted = tonumber(ARGV[arg + 4])
    if call('pttl', meta) < wanted then
        call('pexpire', meta, format('%.0f', wanted + wanted / 16))
    end
    local position = offset .. ':' .. epoch
    if once ~= '' then
        call('set', result, position, 'PX', once)
    end
    call('publish', ARGV[arg], position .. '\n' .. ARGV[arg + 1])
    return position
end

local answers = {}
for n = 1, #KEYS / 3 do
    local done, answer = pcall(publish, 3 * n - 2, 8 * n - 6)
    if done then
        answers[n] = answer
    else
        -- A table since Redis 7, text before.
        answers[n] = '!' .. (type(answer) == 'table' and answer.err or answer)
    end
end
return answers
