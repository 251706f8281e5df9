-- ARGV[2...]: token, then names and whole numbers in turn. Totals since the attempt began: told twice they count once.
local token = ARGV[2]
if not holds(token) then
  return lost('use')
end
for index = 3, #ARGV, 2 do
  local name, value = ARGV[index], tonumber(ARGV[index + 1])
  if TOTALS[name] then
    count(name, whole(math.max(0, value - (field(name) or 0))))
  end
  redis.call('HSET', RECORD, name, whole(value))
end
return {'ok'}
