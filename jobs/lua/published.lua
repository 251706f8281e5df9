-- A message for the job is in the broker; it is missed only while the job still waits, or may have left something.
redis.call('ZREM', OUTBOX, ID)
if redis.call('ZSCORE', WAITING, ID) or field('remains') then
  redis.call('ZADD', PUBLISHED, whole(now()), ID)
end
return {'ok'}
