-- Deletes a session if its authorization key is one of those given, or if it has none.
--
-- KEYS: login, entities, usernames, phones, names, states, files, fence, deleted, writer
-- ARGV: attempt, keys
local is_numbered = ARGV[1] ~= '0'
if is_numbered and (tonumber(redis.call('GET', KEYS[10]) or '') or 0) > tonumber(ARGV[1]) then return 0 end
local key = redis.call('HGET', KEYS[1], 'auth_key') or ''
local is_own = key == ''
for at = 2, #ARGV do
  if ARGV[at] == key then is_own = true end
end
if not is_own then return 0 end
-- What was adopted from another package is still there, and must not come back.
local adopted = redis.call('HGET', KEYS[1], 'adopted')
local count = redis.call('UNLINK', unpack(KEYS, 1, 7))
if adopted then redis.call('SET', KEYS[9], adopted) end
-- A holder of an old lease may still be about to write. It has a day to notice.
if redis.call('EXISTS', KEYS[8]) == 1 then redis.call('PEXPIRE', KEYS[8], 86400000) end
if is_numbered then redis.call('SET', KEYS[10], ARGV[1], 'PX', 3600000) end
return count
