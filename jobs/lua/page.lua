-- The newest jobs that stand in every one of the indexes, by seeking: each index in turn says where the next job that
-- may stand in all of them is, so that of jobs which stand in one alone only the neighbours are looked at.
-- KEYS: indexes. ARGV: upper and lower bound (BYLEX), most ids, most seeks. Returns ids and where to go on, or ''.
local upper, lower, most, seeks = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local function newest(key, bound, count)
  return redis.call('ZRANGE', key, bound, lower, 'BYLEX', 'REV', 'LIMIT', 0, count)
end

if #KEYS == 1 then
  local ids = newest(KEYS[1], upper, most + 1)
  local more = table.remove(ids, most + 1)
  return {ids, more and ids[most] or ''}
end

local page, above = {}, ''
while seeks > 0 do
  seeks = seeks - #KEYS
  local id = newest(KEYS[1], upper, 1)[1]
  local first = id
  for index = 2, #KEYS do
    id = id and newest(KEYS[index], '[' .. id, 1)[1]
  end
  if not id then
    return {page, ''}
  elseif id ~= first then
    upper = '[' .. id
  elseif #page == most then
    return {page, page[most]}
  else
    page[#page + 1] = id
    upper = '(' .. id
  end
  above = first
end
return {page, above}
