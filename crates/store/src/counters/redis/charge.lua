-- Writes charges in their order. ARGV: now, the sender, how many; then for each: its number, what it is (add, settle, back,
-- leave), limit, window, whether it slides, amount, id, what was reserved, end of the window of the reservation.
-- KEYS: the window of each, or its places.

local sender, count = 's:' .. ARGV[2], tonumber(ARGV[3])
for i = 1, count do
    local at = 3 + (i - 1) * 9
    local key, holds = KEYS[i], holds_of(KEYS[i])
    local number, kind = tonumber(ARGV[at + 1]), ARGV[at + 2]
    local id = ARGV[at + 7]
    if kind == 'leave' then
        redis.call('ZREM', key, id)
    elseif kind == 'back' then
        local reserved = tonumber(ARGV[at + 8])
        if redis.call('ZREM', holds, id .. ':' .. text(reserved)) == 1 then
            local used = tonumber(redis.call('GET', key)) or 0
            -- Without making a window anew that has ended meanwhile.
            if used > 0 then
                redis.call('DECRBY', key, text(math.min(used, reserved)))
            end
        end
    -- A charge that is sent twice, because nobody knows whether it arrived, is written once.
    elseif number > (tonumber(redis.call('HGET', state_of(key), sender)) or 0) then
        local amount = tonumber(ARGV[at + 6])
        local w = open(key, tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), ARGV[at + 5] == '1')
        if kind == 'settle' then
            local reserved, ends = tonumber(ARGV[at + 8]), tonumber(ARGV[at + 9])
            if w.held and redis.call('ZREM', holds, id .. ':' .. text(reserved)) == 1 then
                w.u = math.max(0, w.u - reserved)
            elseif w.e ~= ends then
                amount = math.max(0, amount - reserved)
            end
        end
        w.u = math.min(w.u + amount, 9007199254740991)
        save(w)
        redis.call('HSET', w.state, sender, text(number))
    end
end
return count
