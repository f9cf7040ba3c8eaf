{{ newest('interviews') }}
