-- A measurement of a trial: for its curve, its events, its search and Optuna's journal.
-- ARGV[2...]: token, step, the point, '1' where the trial is to end early, journal entries.
local token, step, point, pruned = unpack(ARGV, 2, 5)
if not holds(token) then
  return lost('report')
end
redis.call('HSET', key_of('curve', ID), step, point)
if pruned == '1' then
  redis.call('HSET', RECORD, 'pruned', '1')
end
redis.call('HINCRBY', RECORD, 'version', 1)
redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*', 'kind', 'pretraining', 'attempt', token, 'data', point)
redis.call('PUBLISH', CHANGES, ID)
local journal = key_of('journal', field('search'))
if redis.call('EXISTS', journal) == 1 then -- a search that has ended has none any more
  for index = 6, #ARGV do
    redis.call('RPUSH', journal, ARGV[index])
  end
end
tell_search(cjson.decode(point))
return {'ok'}
