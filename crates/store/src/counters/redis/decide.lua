-- Asks limits in their order. ARGV: now, how many, whether it is all or none; then for each: limit, window, whether it slides,
-- amount, id of the reservation or nothing, its lease. KEYS: the window of each.
-- Answers for each that was asked: allowed, remaining, reset, end of the window.

local count, all = tonumber(ARGV[2]), ARGV[3] == '1'
local answers, asked, is_refused = {}, {}, false
for i = 1, count do
    local at = 3 + (i - 1) * 6
    local w = open(KEYS[i], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3] == '1')
    w.amount, w.id, w.lease_ms = tonumber(ARGV[at + 4]), ARGV[at + 5], tonumber(ARGV[at + 6])
    -- An ask that is sent twice, because its answer was lost, is not counted twice.
    w.is_known = w.id ~= '' and w.held and redis.call('ZSCORE', w.holds, w.id .. ':' .. text(w.amount))
    local allowed, remaining, reset
    if w.is_known then
        allowed, remaining, reset = true, math.max(0, w.limit - w.u), math.max(0, w.e - now)
    else
        allowed, remaining, reset = take(w, w.amount)
    end
    w.is_taken = allowed and not w.is_known
    answers[i] = { allowed and 1 or 0, remaining, reset, w.e }
    asked[i] = w
    if not allowed then
        is_refused = true
        break
    end
    -- Saved at once, because the next one may be about the same key.
    save(w)
end
for i, w in ipairs(asked) do
    if is_refused and i == #asked then
        save(w)
    elseif is_refused and all then
        if w.is_taken and w.amount > 0 then
            redis.call('INCRBY', w.key, text(-w.amount))
        end
    elseif w.is_taken and w.id ~= '' then
        hold(w, w.id, w.amount, w.lease_ms)
        redis.call('HSET', w.state, 'h', '1')
    end
end
return answers
