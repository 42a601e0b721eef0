-- Takes the lease of a session, or returns who has it.
--
-- KEYS: lease, fence
-- ARGV: owner, milliseconds
local held = redis.call('GET', KEYS[1])
-- If the answer to the same question was lost, the lease is taken once more.
local is_own = held and string.sub(held, (string.find(held, ' ', 1, true) or 0) + 1) == ARGV[1]
if held and not is_own then return {'in use', held} end
-- Not a mere counter: after a failover that lost the last number, or after the number was deleted, no
-- number is given twice.
local now = redis.call('TIME')
local fence = math.max(now[1] * 1000000 + now[2], (tonumber(redis.call('GET', KEYS[2]) or '') or 0) + 1)
local text = string.format('%.0f', fence)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], text .. ' ' .. ARGV[1], 'PX', ARGV[2])
return {'taken', text}
