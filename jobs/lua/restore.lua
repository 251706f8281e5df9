-- A job from what its artefact, or its worker, has kept of it: succeeded, or else to be begun again. One that is on
-- record stays as it is.
-- ARGV[2...]: finished at or '', output, the record's pairs.
local finished_at, output = ARGV[2], ARGV[3]
if field('status') then
  return {'known'}
end
if finished_at == '' and overlapping(output) then
  return {'reserved'}
end
redis.call('HSET', RECORD, 'output', output, unpack(ARGV, 4))
for _, index in ipairs(indexes()) do
  redis.call('ZADD', index, 0, ID)
end
if finished_at == '' then
  redis.call('ZADD', OUTPUTS, 0, output .. ' ' .. ID)
  add_to_load('bytes', field('bytes'))
  move('queued', {reason = 'rebuilt'})
  return {'ok'}
end
for _, index in ipairs(indexes()) do
  redis.call('ZADD', index .. ':succeeded', 0, ID)
end
redis.call('ZADD', ENDED, finished_at, ID)
change({status = 'succeeded', finished_at = finished_at}, 'status', {status = 'succeeded', reason = 'rebuilt'})
return {'ok'}
