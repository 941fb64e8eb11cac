-- The arithmetic of windows, as window.rs has it. What a window has used is a plain number under its key, which ends with the
-- window, as APISIX has it. Beside it is a hash, tollgate:<key>: e is the end in milliseconds since 1970, b what the window
-- before has used, h whether amounts are reserved, s:<sender> the number of the last charge of a sender. Reservations are a
-- sorted set, tollgate:<key>:held: <id>:<amount>, scored by when they are given back. Only the key is among the KEYS, because
-- a cluster refuses scripts with several keys while their slot moves; the braces in it put all three into the same slot.
-- Amounts stay below 2^53, so that Lua's numbers hold them exactly.

local now = tonumber(ARGV[1])
if now == 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number)
    return string.format('%.0f', number)
end

-- How long a hash outlives its window, so that a charge that is sent twice is known again.
local KEPT_MS = 60000
-- Senders remembered beyond the end of a window.
local SENDERS = 64

local function state_of(key)
    return 'tollgate:' .. key
end

local function holds_of(key)
    return state_of(key) .. ':held'
end

local function open(key, limit, window_ms, sliding)
    local state, holds = state_of(key), holds_of(key)
    local used = redis.call('GET', key)
    local saved = redis.call('HMGET', state, 'e', 'b', 'h')
    local w = {
        key = key,
        state = state,
        holds = holds,
        u = tonumber(used) or 0,
        e = tonumber(saved[1]) or 0,
        b = tonumber(saved[2]) or 0,
        held = saved[3] == '1',
        window_ms = window_ms,
        sliding = sliding,
        limit = limit,
    }
    local before, ends = 0, w.e
    if sliding then
        ends = (math.floor(now / window_ms) + 1) * window_ms
        if ends ~= w.e and w.e + window_ms == ends then
            before = math.min(w.u, limit)
        end
        w.begins = ends ~= w.e
    else
        w.begins = now >= w.e
        if w.begins then
            ends = now + window_ms
        elseif w.e > now + window_ms then
            w.e = now + window_ms
            w.is_moved = true
        end
    end
    if w.begins then
        if w.e > 0 and redis.call('HLEN', state) > SENDERS then
            redis.call('DEL', state)
        end
        w.e, w.u, w.b = ends, 0, before
        if w.held then
            redis.call('DEL', holds)
            w.held = false
        end
    elseif w.held then
        for _, hold in ipairs(redis.call('ZRANGEBYSCORE', holds, '-inf', now)) do
            redis.call('ZREM', holds, hold)
            w.u = math.max(0, w.u - tonumber(string.match(hold, ':(%d+)$')))
        end
    end
    return w
end

local function take(w, amount)
    local left = math.max(0, w.e - now)
    local carried = w.sliding and w.b * left or 0
    local others = w.u + math.max(amount, 1) - 1
    local allowed = others < w.limit
        and (carried == 0 or carried + others * w.window_ms < w.limit * w.window_ms)
    if allowed then
        w.u = w.u + amount
    end
    local remaining = math.max(0, w.limit - w.u)
    if carried > 0 then
        local room = w.limit * w.window_ms - w.u * w.window_ms - carried
        remaining = math.max(0, math.floor(room / w.window_ms))
    end
    local reset = left
    if not allowed and others < w.limit and carried > 0 then
        reset = math.max(0, left - math.floor((w.limit - others) * w.window_ms / w.b))
    end
    return allowed, remaining, reset
end

local function hold(w, id, amount, lease_ms)
    redis.call('ZADD', w.holds, text(now + lease_ms), id .. ':' .. text(amount))
    local ttl = lease_ms + KEPT_MS
    if redis.call('PTTL', w.holds) < ttl then
        redis.call('PEXPIRE', w.holds, text(ttl))
    end
    w.held = true
end

local function save(w)
    local lives = math.max(1, w.e - now) + (w.sliding and w.window_ms or 0)
    redis.call('SET', w.key, text(w.u), 'PX', text(lives))
    redis.call('HSET', w.state, 'e', text(w.e), 'b', text(w.b), 'h', w.held and '1' or '0')
    if w.begins or w.is_moved then
        redis.call('PEXPIRE', w.state, text(lives + KEPT_MS))
    end
end
