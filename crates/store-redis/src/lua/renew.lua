-- Extends a lease, or takes it again if it has expired and no other session has had it since.
--
-- KEYS: lease, fence
-- ARGV: fence, owner, milliseconds
local known = tonumber(redis.call('GET', KEYS[2]) or '')
if known and known > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
-- The server may have lost it in a failover.
redis.call('SET', KEYS[2], ARGV[1])
return 1
