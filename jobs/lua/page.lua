-- Walks the smallest of the indexes from the newest job down and keeps what stands in all of them.
-- KEYS: indexes. ARGV: upper and lower bound (BYLEX), most ids, most looked at. Returns ids and where to go on, or ''.
local upper, lower, most, budget = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local smallest = KEYS[1]
for _, key in ipairs(KEYS) do
  if redis.call('ZCARD', key) < redis.call('ZCARD', smallest) then
    smallest = key
  end
end

local function in_all(id)
  for _, key in ipairs(KEYS) do
    if key ~= smallest and not redis.call('ZSCORE', key, id) then
      return false
    end
  end
  return true
end

local page = {}
while budget > 0 do
  local ids = redis.call('ZRANGE', smallest, upper, lower, 'BYLEX', 'REV', 'LIMIT', 0, most + 1)
  for _, id in ipairs(ids) do
    if #page == most then
      return {page, string.sub(upper, 2)}
    end
    if in_all(id) then
      page[#page + 1] = id
    end
    upper = '(' .. id
  end
  if #ids <= most then
    return {page, ''}
  end
  budget = budget - #ids
end
return {page, string.sub(upper, 2)}
