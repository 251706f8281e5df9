-- ARGV[2...]: token, '1' where the attempt counts toward the most.
local token, counts = ARGV[2], ARGV[3]
if field('released_by') == token and field('status') ~= 'running' then -- the reply to the first sending was lost
  return {'ok', record()}
elseif not holds(token) then
  return lost('release')
end
redis.call('HSET', RECORD, 'released_by', token)
if counts ~= '1' then
  redis.call('HINCRBY', RECORD, 'uncounted', 1)
end
count('attempts_ended|released')
give_up_attempt('released')
return {'ok', record()}
