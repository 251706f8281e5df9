-- ARGV[2]: token.
if not holds(ARGV[2]) then
  return lost('grant')
end
redis.call('HSET', RECORD, 'granted', ARGV[2])
return {'ok'}
