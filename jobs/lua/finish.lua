-- ARGV[2...]: token, status, result or '', error or ''.
local token, status, result, failure = unpack(ARGV, 2, 5)
if field('finished_by') == token and field('status') == status then -- the reply to the first sending was lost
  return {'ok', record()}
elseif not holds(token) then
  return lost('finish')
end
note_pace()
if status == 'succeeded' then
  stage_ends(now())
end
count('attempts_ended|' .. status)
local event = {}
redis.call('HSET', RECORD, 'finished_by', token)
if result ~= '' then
  redis.call('HSET', RECORD, 'result', result, 'progress', '1.0')
end
if failure ~= '' then
  redis.call('HSET', RECORD, 'error', failure)
  event.error = cjson.decode(failure)
end
move(status, event)
return {'ok', record()}
