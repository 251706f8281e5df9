local status = field('status')
if not status then
  return {'not_found'}
elseif status == 'queued' then
  cancel_unheld({})
elseif status == 'running' and field('cancel_requested') ~= '1' then
  change({cancel_requested = '1'}, 'status', {status = 'running', cancel_requested = true})
end
return {'ok', record()}
