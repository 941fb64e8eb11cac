-- Asks for places in their order, until one is not free. KEYS: a sorted set each, scored by when the place runs out. ARGV: now,
-- how many; then for each: how many places there are, the lease, the id. Answers for each: whether there is a place, and how
-- many are taken.

local now = tonumber(ARGV[1])
if now == 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local answers = {}
for i = 1, tonumber(ARGV[2]) do
    local at = 2 + (i - 1) * 3
    local limit, lease_ms, id = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
    local ends = string.format('%.0f', now + lease_ms)
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    local taken = redis.call('ZCARD', KEYS[i])
    if redis.call('ZSCORE', KEYS[i], id) then
        -- Sent twice, because the answer was lost.
        answers[i] = { 1, taken }
    elseif taken >= limit then
        answers[i] = { 0, taken }
        break
    else
        redis.call('ZADD', KEYS[i], ends, id)
        if redis.call('PTTL', KEYS[i]) < lease_ms then
            redis.call('PEXPIRE', KEYS[i], string.format('%.0f', lease_ms))
        end
        answers[i] = { 1, taken + 1 }
    end
end
return answers
