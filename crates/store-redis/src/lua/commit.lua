-- Writes some changes of one session, all of them or nothing.
--
-- KEYS: login, entities, usernames, phones, names, states, files, fence, writer
-- ARGV: fence or '', attempt, 'write' or 'adopt', how to check the login ('', 'replace' or 'keep'), its key,
--       then counted lists: pairs of the login, entities (ID, part and value), states, files
--
-- A row of `entities` is a version byte, the access hash (8 bytes, opaque here), the date (4 bytes),
-- a tag and the texts. The tag's lowest bits tell which of username, phone and name there are, and
-- whether each length takes four bytes instead of one.
local byte, char, sub, find = string.byte, string.char, string.sub, string.find
local call = redis.call
local login, entities, fence = KEYS[1], KEYS[2], KEYS[8]
local HEAD = 13
-- Longer lists of IDs grow no further: a lookup reads about a hundred rows.
local LONGEST_LIST = 2000

local position = 5
local function next_list()
  position = position + 1
  local first = position + 1
  position = position + 2 * tonumber(ARGV[position])
  return first, position
end

if ARGV[1] ~= '' then
  local known = tonumber(call('GET', fence) or '')
  if known and known > tonumber(ARGV[1]) then return {'fenced'} end
end

-- A late one must not replace what came after it, nor undo a deletion.
local is_numbered = ARGV[2] ~= '0'
if is_numbered and (tonumber(call('GET', KEYS[9]) or '') or 0) > tonumber(ARGV[2]) then return {'late'} end

local layout = call('HGET', login, 'layout')
if layout and layout ~= '1' then return {'layout', layout} end
local is_adoption = ARGV[3] == 'adopt'
if is_adoption and layout then return {'taken'} end

local first_pair, last_pair = next_list()
local check = ARGV[4]
if check ~= '' then
  local stored = call('HGET', login, 'auth_key') or ''
  local written = ''
  for at = first_pair, last_pair, 2 do
    if ARGV[at] == 'auth_key' then written = ARGV[at + 1] end
  end
  -- A write whose answer was lost is made again and finds its own key.
  local is_known = stored == ARGV[5] or (check == 'replace' and stored == written)
  if not is_known then return {'conflict', stored} end
end

local function u32(row, at)
  local a, b, c, d = byte(row, at, at + 3)
  return a + b * 256 + c * 65536 + d * 16777216
end

-- Returns where the texts begin and how long each is, or nothing if it is not a row.
local function measure(row)
  if not row or #row < HEAD + 4 or byte(row, 1) ~= 1 then return nil end
  local tag, at, username, phone, name = byte(row, HEAD + 1), HEAD + 5
  if tag < 8 then
    username, phone, name = byte(row, HEAD + 2, HEAD + 4)
  else
    if tag > 15 or #row < HEAD + 13 then return nil end
    tag, at = tag - 8, HEAD + 14
    username, phone, name = u32(row, HEAD + 2), u32(row, HEAD + 6), u32(row, HEAD + 10)
  end
  if at - 1 + username + phone + name > #row then return nil end
  return tag, at, {username, phone, name}
end

-- Returns username, phone and name; `false` for those that are missing.
local function texts(row)
  local tag, at, lengths = measure(row)
  local found = {false, false, false}
  if not tag then return found end
  for field = 1, 3 do
    if tag % 2 == 1 then found[field] = sub(row, at, at + lengths[field] - 1) end
    tag = (tag - tag % 2) / 2
    at = at + lengths[field]
  end
  return found
end

local function without_username(row)
  local tag, at, lengths = measure(row)
  if not tag or tag % 2 == 0 then return row end
  local head, rest = sub(row, 1, HEAD), sub(row, at + lengths[1])
  if byte(row, HEAD + 1) < 8 then
    return head .. char(tag - 1, 0) .. sub(row, HEAD + 3, HEAD + 4) .. rest
  end
  return head .. char(tag + 7, 0, 0, 0, 0) .. sub(row, HEAD + 6, HEAD + 13) .. rest
end

-- Returns the row after a change of one of its parts, or nothing if there is no row to change.
local function changed(row, part, value)
  if part == 'F' then return value end
  local is_row = measure(row) ~= nil
  if part == 'A' then return value .. (is_row and sub(row, HEAD + 1) or '\0\0\0\0') end
  if not is_row then return nil end
  if part == 'D' then return sub(row, 1, HEAD - 4) .. value .. sub(row, HEAD + 1) end
  return without_username(row)
end

-- The texts of each field that come or go: text, ID, whether it comes.
local moves = {{}, {}, {}}
local new_rows = {}
local first, last = next_list()
if first <= last then
  local ids, before, after, order = {}, {}, {}, {}
  for at = first, last, 2 do ids[#ids + 1] = ARGV[at] end
  local rows = call('HMGET', entities, unpack(ids))
  for i, id in ipairs(ids) do
    if before[id] == nil then
      before[id], after[id] = rows[i], rows[i]
      order[#order + 1] = id
    end
    local change = ARGV[first + 2 * i - 1]
    after[id] = changed(after[id], sub(change, 1, 1), sub(change, 2)) or after[id]
  end
  for _, id in ipairs(order) do
    if after[id] and after[id] ~= before[id] then
      new_rows[#new_rows + 1], new_rows[#new_rows + 2] = id, after[id]
      local old, new = texts(before[id]), texts(after[id])
      for field = 1, 3 do
        local list = moves[field]
        if old[field] ~= new[field] then
          if old[field] then list[#list + 1] = {old[field], id, false} end
          if new[field] then list[#list + 1] = {new[field], id, true} end
        end
      end
    end
  end
end

-- Everything is read before anything is written: an error in between would leave half of it.
local indexes = {}
for field = 1, 3 do
  local wanted, ids_of = {}, {}
  for _, move in ipairs(moves[field]) do
    if ids_of[move[1]] == nil then
      ids_of[move[1]] = false
      wanted[#wanted + 1] = move[1]
    end
  end
  if #wanted > 0 then
    for i, ids in ipairs(call('HMGET', KEYS[2 + field], unpack(wanted))) do ids_of[wanted[i]] = ids end
    for _, move in ipairs(moves[field]) do
      local ids, id = ids_of[move[1]], ' ' .. move[2] .. ' '
      if not move[3] then
        local padded = ' ' .. (ids or '') .. ' '
        local from, to = find(padded, id, 1, true)
        if from then ids_of[move[1]] = sub(sub(padded, 1, from - 1) .. sub(padded, to), 2, -2) end
      elseif not ids or ids == '' then
        ids_of[move[1]] = move[2]
      elseif #ids < LONGEST_LIST and not find(' ' .. ids .. ' ', id, 1, true) then
        ids_of[move[1]] = ids .. ' ' .. move[2]
      end
    end
    local set, gone = {}, {}
    for _, text in ipairs(wanted) do
      if ids_of[text] and ids_of[text] ~= '' then
        set[#set + 1], set[#set + 2] = text, ids_of[text]
      else
        gone[#gone + 1] = text
      end
    end
    indexes[field] = {set, gone}
  end
end

if #new_rows > 0 then call('HSET', entities, unpack(new_rows)) end
for field, index in pairs(indexes) do
  if #index[1] > 0 then call('HSET', KEYS[2 + field], unpack(index[1])) end
  if #index[2] > 0 then call('HDEL', KEYS[2 + field], unpack(index[2])) end
end
for list = 6, 7 do
  local from, to = next_list()
  if from <= to then call('HSET', KEYS[list], unpack(ARGV, from, to)) end
end
if first_pair <= last_pair then
  -- It also makes a server whose memory is full take the login.
  call('HDEL', login, 'dc_id', 'server_address', 'port', 'auth_key', 'takeout_id', 'tmp_auth_key')
  call('HSET', login, unpack(ARGV, first_pair, last_pair))
end
if not layout and (not is_adoption or first_pair <= last_pair) then call('HSET', login, 'layout', '1') end
-- No message is as late as an hour.
if is_numbered then call('SET', KEYS[9], ARGV[2], 'PX', 3600000) end
return {'ok'}
