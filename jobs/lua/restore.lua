-- A job that succeeded, from what its artefact tells; one that is on record stays as it is.
-- ARGV[2...]: finished at, the record's pairs.
if field('status') then
  return {'known'}
end
redis.call('HSET', RECORD, unpack(ARGV, 3))
for _, index in ipairs(indexes()) do
  redis.call('ZADD', index, 0, ID)
  redis.call('ZADD', index .. ':succeeded', 0, ID)
end
redis.call('ZADD', ENDED, ARGV[2], ID)
change({status = 'succeeded', finished_at = ARGV[2]}, 'status', {status = 'succeeded', reason = 'rebuilt'})
return {'ok'}
