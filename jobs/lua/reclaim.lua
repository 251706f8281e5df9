-- ARGV[2]: lease seconds.
if field('status') ~= 'running' or not lease_ended(ARGV[2]) then
  return {'held'}
end
redis.call('HSET', RECORD, 'lost', '1')
count('attempts_ended|lease_lost')
give_up_attempt('lease_ended')
return {'ok'}
