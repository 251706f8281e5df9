-- ARGV[2...]: token, stage or '', progress or ''. What is as it was is no change.
local token, stage, progress = ARGV[2], ARGV[3], ARGV[4]
if not holds(token) then
  return lost('update')
end
local present = field('stage') or ''
if stage ~= '' and stage ~= present then
  local time = now()
  stage_ends(time)
  redis.call('HSET', RECORD, 'stage_at', whole(time))
  change({stage = stage, progress = progress ~= '' and progress or '0.0'}, 'stage', {stage = stage})
elseif progress ~= '' and progress ~= field('progress') then
  change({progress = progress}, 'progress', {stage = present, progress = tonumber(progress)})
end
return {'ok'}
