-- Writes some changes of one session, all of them or nothing.
--
-- KEYS: login, entities, usernames, phones, names, states, files, fence, writer
-- ARGV: fence or '', attempt, 'write' or 'adopt', how to check the login ('', 'replace' or 'keep'), its key,
--       '1' to count a commit with forgotten entities, then counted lists: pairs of the login, entities
--       (ID, part and value), states, files
--
-- A row of `entities` is a version byte, the access hash (8 bytes, opaque here), the date (4 bytes),
-- a tag and the texts. The tag's lowest bits tell which of username, phone and name there are, whether
-- each length takes four bytes instead of one, and whether other usernames follow, each after its length
-- in four bytes.
local byte, char, sub, find = string.byte, string.char, string.sub, string.find
local call = redis.call
local login, entities, fence = KEYS[1], KEYS[2], KEYS[8]
local HEAD = 13
-- Longer lists of IDs grow no further: a lookup reads about a hundred rows.
local LONGEST_LIST = 2000
-- How many arguments a command gets. It must be even, and Lua takes at most 7,999.
local MOST_ARGUMENTS = 4000

local position = 6
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

-- Returns which texts there are, where they begin, how long each is, where they end, and whether other
-- usernames follow; or nothing if it is not a row.
local function measure(row)
  if not row or #row < HEAD + 4 or byte(row, 1) ~= 1 then return nil end
  local tag, at, username, phone, name = byte(row, HEAD + 1), HEAD + 5
  if tag > 31 then return nil end
  local has_aliases = tag > 15
  tag = tag % 16
  if tag < 8 then
    username, phone, name = byte(row, HEAD + 2, HEAD + 4)
  else
    if #row < HEAD + 13 then return nil end
    tag, at = tag - 8, HEAD + 14
    username, phone, name = u32(row, HEAD + 2), u32(row, HEAD + 6), u32(row, HEAD + 10)
  end
  local last = at - 1 + username + phone + name
  if last > #row then return nil end
  return tag, at, {username, phone, name}, last, has_aliases
end

-- Returns the usernames, phones and names of a row, each as a list.
local function texts(row)
  local tag, at, lengths, last, has_aliases = measure(row)
  local found = {{}, {}, {}}
  if not tag then return found end
  for field = 1, 3 do
    if tag % 2 == 1 then found[field][1] = sub(row, at, at + lengths[field] - 1) end
    tag = (tag - tag % 2) / 2
    at = at + lengths[field]
  end
  at = last + 1
  while has_aliases and at + 3 <= #row do
    local length = u32(row, at)
    if at + 3 + length > #row then break end
    table.insert(found[1], sub(row, at + 4, at + 3 + length))
    at = at + 4 + length
  end
  return found
end

local function without_username(row)
  local tag, at, lengths = measure(row)
  if not tag or tag % 2 == 0 then return row end
  local head, rest, first = sub(row, 1, HEAD), sub(row, at + lengths[1]), byte(row, HEAD + 1) - 1
  if first % 16 < 8 then
    return head .. char(first, 0) .. sub(row, HEAD + 3, HEAD + 4) .. rest
  end
  return head .. char(first, 0, 0, 0, 0) .. sub(row, HEAD + 6, HEAD + 13) .. rest
end

-- Returns the row with other aliases, unless it was seen after the date before them.
local function with_aliases(row, value)
  if u32(row, HEAD - 3) > u32(value, 1) then return row end
  local _, _, _, last = measure(row)
  local aliases, first = sub(value, 5), byte(row, HEAD + 1) % 16
  return sub(row, 1, HEAD) .. char(aliases == '' and first or first + 16) .. sub(row, HEAD + 2, last) .. aliases
end

-- Returns the row after a change of one of its parts, `false` if it is deleted, or nothing if there
-- is no row to change.
local function changed(row, part, value)
  if part == 'F' then return value end
  if part == 'G' then
    local before = u32(value, 1)
    local stays = before < 4294967295 and measure(row) and u32(row, HEAD - 3) >= before
    return stays and row or false
  end
  local is_row = measure(row) ~= nil
  if part == 'A' then return value .. (is_row and sub(row, HEAD + 1) or '\0\0\0\0') end
  if not is_row then return nil end
  if part == 'D' then return sub(row, 1, HEAD - 4) .. value .. sub(row, HEAD + 1) end
  if part == 'L' then return with_aliases(row, value) end
  return without_username(row)
end

-- Returns the values of fields of a hash.
local function get(key, fields)
  local values = {}
  for from = 1, #fields, MOST_ARGUMENTS do
    local some = call('HMGET', key, unpack(fields, from, math.min(from + MOST_ARGUMENTS - 1, #fields)))
    for _, value in ipairs(some) do values[#values + 1] = value end
  end
  return values
end

-- Sets fields of a hash. Each is followed by its value.
local function set(key, fields)
  for from = 1, #fields, MOST_ARGUMENTS do
    call('HSET', key, unpack(fields, from, math.min(from + MOST_ARGUMENTS - 1, #fields)))
  end
end

local function remove(key, fields)
  for from = 1, #fields, MOST_ARGUMENTS do
    call('HDEL', key, unpack(fields, from, math.min(from + MOST_ARGUMENTS - 1, #fields)))
  end
end

-- The texts of each field that come or go: text, ID, whether it comes.
local moves = {{}, {}, {}}
local new_rows, gone_rows = {}, {}
local first, last = next_list()
if first <= last then
  local ids, before, after, order = {}, {}, {}, {}
  for at = first, last, 2 do ids[#ids + 1] = ARGV[at] end
  local rows = get(entities, ids)
  for i, id in ipairs(ids) do
    if before[id] == nil then
      before[id], after[id] = rows[i], rows[i]
      order[#order + 1] = id
    end
    local change = ARGV[first + 2 * i - 1]
    local row = changed(after[id], sub(change, 1, 1), sub(change, 2))
    if row ~= nil then after[id] = row end
  end
  for _, id in ipairs(order) do
    if after[id] ~= before[id] then
      if after[id] then
        new_rows[#new_rows + 1], new_rows[#new_rows + 2] = id, after[id]
      else
        gone_rows[#gone_rows + 1] = id
      end
      local old, new = texts(before[id]), texts(after[id])
      for field = 1, 3 do
        local list, is_old, is_new = moves[field], {}, {}
        for _, text in ipairs(old[field]) do is_old[text] = true end
        for _, text in ipairs(new[field]) do is_new[text] = true end
        for text in pairs(is_old) do
          if not is_new[text] then list[#list + 1] = {text, id, false} end
        end
        for text in pairs(is_new) do
          if not is_old[text] then list[#list + 1] = {text, id, true} end
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
    for i, ids in ipairs(get(KEYS[2 + field], wanted)) do ids_of[wanted[i]] = ids end
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
    local changed_lists, gone = {}, {}
    for _, text in ipairs(wanted) do
      if ids_of[text] and ids_of[text] ~= '' then
        changed_lists[#changed_lists + 1], changed_lists[#changed_lists + 2] = text, ids_of[text]
      else
        gone[#gone + 1] = text
      end
    end
    indexes[field] = {changed_lists, gone}
  end
end

remove(entities, gone_rows)
set(entities, new_rows)
for field, index in pairs(indexes) do
  set(KEYS[2 + field], index[1])
  remove(KEYS[2 + field], index[2])
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
if ARGV[6] == '1' then call('HINCRBY', login, 'forgettings', 1) end
-- No message is as late as an hour.
if is_numbered then call('SET', KEYS[9], ARGV[2], 'PX', 3600000) end
return {'ok'}
