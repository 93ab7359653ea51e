-- GCRA over several cells, all or nothing. KEYS: the cells. ARGV[1]: the cost; ARGV[2i] and ARGV[2i+1]: the
-- interval of KEYS[i] in microseconds, and its burst. Every number stays below 2^53, where doubles are exact.
-- Answers whether it was allowed, and how far each cell was ahead of now before.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost = tonumber(ARGV[1])
local cells = redis.call('MGET', unpack(KEYS))
local allowed, ahead, moved = 1, {}, {}
for i = 1, #KEYS do
    local interval, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
    local span = interval * burst
    local full_at = now
    if cells[i] then
        full_at = tonumber(cells[i])
        if not full_at or full_at ~= full_at then
            return redis.error_reply('ERR a cell holds no number')
        end
        -- Never further ahead than its span, which only a clock that jumped back or a changed limit can show.
        full_at = math.min(math.max(full_at, now), now + span)
    end
    ahead[i] = full_at - now
    moved[i] = full_at + interval * cost
    if cost > burst or moved[i] - now > span then
        allowed = 0
    end
end
if allowed == 1 then
    for i = 1, #KEYS do
        redis.call('SET', KEYS[i], string.format('%.0f', moved[i]), 'PX', math.ceil((moved[i] - now) / 1000))
    end
end
return {allowed, unpack(ahead)}
