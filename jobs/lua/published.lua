-- A message for the job is in the broker; it is missed only while the job waits for it, or may have left something.
redis.call('ZREM', OUTBOX, ID)
if redis.call('ZSCORE', WAITING, ID) or field('remains') or tonumber(field('news') or 0) > 0 then
  redis.call('ZADD', PUBLISHED, whole(now()), ID)
end
return {'ok'}
