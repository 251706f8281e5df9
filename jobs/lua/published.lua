-- A message for the job is in the broker; it is missed only while something still waits for it.
redis.call('ZREM', OUTBOX, ID)
if redis.call('ZSCORE', WAITING, ID) or tonumber(field('news') or 0) > 0 then
  redis.call('ZADD', PUBLISHED, whole(now()), ID)
end
return {'ok'}
