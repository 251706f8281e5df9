-- ARGV[2...]: token, kind, data.
if not holds(ARGV[2]) then
  return lost('append')
end
redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*', 'kind', ARGV[3], 'attempt', ARGV[2], 'data', ARGV[4])
redis.call('PUBLISH', CHANGES, ID)
return {'ok'}
