-- A search asks its trials to stop too, and ends with the last of them.
if not field('status') then
  return {'not_found'}
end
request_cancel()
if field('kind') == 'tune' and not TERMINAL[field('status')] then
  cancel_trials(ID)
  if field('status') == 'running' and field('live') == '0' then
    move('cancelled', {})
  end
end
return {'ok', record()}
