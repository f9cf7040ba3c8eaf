{{ newest('calibration_scores') }}
