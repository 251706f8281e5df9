-- ARGV[2]: seconds until a lost attempt's process is taken to be dead.
if not TERMINAL[field('status')] then
  return {'live'}
end
redis.call('ZREM', PUBLISHED, ID)
if redis.call('HDEL', RECORD, 'lost') == 1 then
  redis.call('ZADD', OUTBOX, whole(now() + ARGV[2] * 1000000), ID)
else
  redis.call('ZREM', OUTBOX, ID)
  redis.call('HDEL', RECORD, 'remains')
end
return {'ok'}
