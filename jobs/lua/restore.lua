-- A job that succeeded, from what its artefact tells; one that is on record stays as it is.
-- KEYS[15...]: the indexes that never change. ARGV[2...]: finished at, the record's pairs.
if field('status') then
  return {'known'}
end
redis.call('HSET', RECORD, unpack(ARGV, 3))
for index = 15, #KEYS do
  redis.call('ZADD', KEYS[index], 0, ID)
end
redis.call('ZADD', BY_STATUS.succeeded, 0, ID)
redis.call('ZADD', ENDED, ARGV[2], ID)
change({status = 'succeeded', finished_at = ARGV[2]}, 'status', {status = 'succeeded', reason = 'rebuilt'})
return {'ok'}
