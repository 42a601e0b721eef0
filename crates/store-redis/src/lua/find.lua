-- Returns the IDs and rows of the entities with a text.
--
-- KEYS: one of usernames, phones, names; entities
-- ARGV: the text, the largest number of rows
local listed = redis.call('HGET', KEYS[1], ARGV[1])
if not listed then return {} end
local ids = {}
for id in string.gmatch(listed, '%S+') do
  if #ids >= tonumber(ARGV[2]) then break end
  ids[#ids + 1] = id
end
if #ids == 0 then return {} end
local found = {}
for i, row in ipairs(redis.call('HMGET', KEYS[2], unpack(ids))) do
  found[2 * i - 1], found[2 * i] = ids[i], row
end
return found
