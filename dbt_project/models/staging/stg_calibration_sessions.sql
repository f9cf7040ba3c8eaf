{{ newest('calibration_sessions') }}
