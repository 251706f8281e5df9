-- One step of a search: its journal, its new trials and perhaps its end, in one go; only where no other step came first.
-- ARGV[2...]: steps before this one, news seen, progress, seconds until others may publish, status to end with or '',
-- result or error, number of trials, '1' where the owner's quota leaves no room for one more, number of journal entries,
-- the entries, then for each trial: id, number of texts, the record's pairs.
local steps, news, progress, publish_seconds, ending, outcome, begun, held, entries = unpack(ARGV, 2, 10)
local at = 11
if TERMINAL[field('status')] or field('cancel_requested') == '1' then
  return {'over'}
elseif field('step') ~= steps then
  return {'late'}
end
local most_queued = field('most_queued')
local freed = field('status') == 'queued' and 1 or 0
if most_queued and tonumber(begun) > 0 and loaded('queued') - freed + begun > tonumber(most_queued) then
  return {'late'} -- somebody else's job has come since the step looked
end
redis.call('HINCRBY', RECORD, 'step', 1)
for index = at, at + entries - 1 do
  redis.call('RPUSH', key_of('journal', ID), ARGV[index])
end
at = at + entries
if field('status') == 'queued' then
  move('running', {})
end
if progress ~= field('progress') then
  change({progress = progress}, 'progress', {progress = tonumber(progress)})
end

local search = ID
while at <= #ARGV do
  local trial, texts = ARGV[at], ARGV[at + 1]
  redis.call('ZADD', key_of('trials', search), 0, trial)
  redis.call('HINCRBY', RECORD, 'live', 1)
  turn_to(trial)
  redis.call('HSET', RECORD, unpack(ARGV, at + 2, at + 1 + texts))
  move('queued', {}, now() + publish_seconds * 1000000)
  turn_to(search)
  at = at + 2 + texts
end

redis.call('ZREM', PUBLISHED, ID)
redis.call('ZREM', OUTBOX, ID)
if redis.call('HINCRBY', RECORD, 'news', -news) > 0 then
  redis.call('ZADD', OUTBOX, whole(now()), ID)
elseif held == '1' then
  redis.call('HINCRBY', RECORD, 'news', 1)
  redis.call('ZADD', OUTBOX, whole(now() + HELD_SECONDS * 1000000), ID)
end
if ending == 'succeeded' then
  redis.call('HSET', RECORD, 'result', outcome)
  move('succeeded', {})
elseif ending == 'failed' then
  redis.call('HSET', RECORD, 'error', outcome)
  move('failed', {error = cjson.decode(outcome)})
  cancel_trials(ID)
end
return {'ok'}
