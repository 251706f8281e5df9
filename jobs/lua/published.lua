-- A message for the job is in the broker; it matters only while the job still waits.
if redis.call('ZSCORE', WAITING, ID) then
  redis.call('ZREM', OUTBOX, ID)
  redis.call('ZADD', PUBLISHED, whole(now()), ID)
end
return {'ok'}
